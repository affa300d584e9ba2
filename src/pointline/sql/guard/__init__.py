"""The guard: checks a statement before it runs, and rewrites it from its checked tree.

`checker` checks statements for one engine and caches the results. `tree_check` walks the tree that the engine's `parser` gives; it allows
what is on the `allow_lists` and in the `rules` of the engine. `decimals` makes products, ratios and sums safe. `settings` and `limits` are
checked with the statement. A refusal is a `codes.RefusedError`.
"""
