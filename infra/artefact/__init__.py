"""The artefact of a release: one relocatable tree for hosts without Python, pip or internet, as one file.

`python -m infra.artefact` builds it. This package is a tool of the repository and no part of the wheel.
"""
