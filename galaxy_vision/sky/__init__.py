"""The sky: tables with units in and out, and cut-outs of surveys at positions."""
