"""Training of the network: belief plant, recording, differentiable loop, export. The only room where torch is known."""
