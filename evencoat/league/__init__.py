"""What controllers are judged by: rivals and scoring. benchmarks/ and the command line use it."""
