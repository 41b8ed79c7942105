"""Forecast of the web: what the next minutes and metres will be, how sure that is, and what follows."""
