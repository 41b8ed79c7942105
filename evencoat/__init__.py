"""The front door: command line, settings, composition of the other three packages, journal and reports."""

__version__ = "0.1.0"
