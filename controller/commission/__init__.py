"""Finding out what a line's lips, pump and gauges really do: safe tests, what was seen of them, and what follows."""
