"""Votes to claims, claims to sentences, and sentences back to claims."""
