"""The same work by the published packages and by ours: ``python -m benchmarks --published``.

One service of ours serves both, on the one address that the published packages know, http://localhost:5000. Beside it
run, in turns, their client with their endpoint, and our client with ours, each installed in an environment of its own,
configured by files and environment variables only, and acting as one client identity. Every result is compared with
what was sent.

Their client allows itself four requests in 16 seconds and then one every four, made for the hosted service, and can be
told to allow itself eight in a second at most. So it is told that, and lone calls are measured seven at a time, with a
pause before each seven that is not counted.
"""
