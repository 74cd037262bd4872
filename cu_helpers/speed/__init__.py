"""How near the package comes to what a machine can do: measured by `make speed`, never by a timed test.

ceiling: methods against the bare training step. rivals: methods against Retrain and each other.
vectorised: what is done at once against the same one by one. growth: seconds and memory against
size. graphs: a step on a GPU as a CUDA graph or compiled. clock: the seconds of all of these, two
pieces of work side by side. report: the record, its schema, and its tables and figures.
"""
