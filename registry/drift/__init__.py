"""drift: what `algoshelf drift` fetches from S3, shows, and hands to a labelling job.

What has changed is measured in ``core.drift``.
"""
