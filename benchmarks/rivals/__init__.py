"""What benchmarks/simulator.py measures plant_sim against: the same plant by other roads, and the machine's bound."""
