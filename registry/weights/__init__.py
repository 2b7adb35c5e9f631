"""weights: pretrained weights by name: the table that plugins state, the cache, and how what is
not there yet is fetched. It may import core and registry's own modules, but no AWS SDK.
"""
