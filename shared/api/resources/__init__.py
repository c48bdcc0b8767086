"""The models of what replies carry, by subject. Each says how it is made from the record or result behind it."""
