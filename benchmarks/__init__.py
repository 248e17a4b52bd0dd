"""The benchmark: one generation on this store and on what people write instead, in the same seconds.

Only the public interface of the store is used. `python -m benchmarks --help` lists what can be chosen.
"""
