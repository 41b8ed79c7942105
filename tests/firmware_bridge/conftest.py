"""Property tests here judge what comes out, never how fast: speed lives in benchmarks/."""

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
