"""What a statement may do: it is checked before it runs, and written anew from what was checked.

`statements` checks for one engine and remembers; `guard` walks the tree that the engine's `parser` gives, by the lists in `names` and the
`rules` read from the engine; `decimals` makes products, ratios and sums safe; `settings` and `limits` say what goes with a statement.
"""
