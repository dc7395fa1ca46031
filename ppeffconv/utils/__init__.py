"""Logging, downloads and safe writing of files."""
