"""What runs beside the user's function, on whichever machine that is.

``run`` turns a job into an outcome, bytes both ways; ``functions`` keeps functions between jobs; ``sandbox`` is the
place where one runs; ``failure`` puts into words what it raised; ``environment`` says what Python this is;
``published`` answers imports of the published package; ``loop`` reads jobs and writes outcomes. ``child`` is such a
process as its parent sees it. What Parsl's workers run is in ``bundle`` and its neighbours.

Imports nothing but ``wire`` and ``serialize``, for a worker should be ready before anybody notices.
"""
