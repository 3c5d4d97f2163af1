"""The machine and the file system: whole files, locks, precision, arguments, the Hub."""
