"""Names within a workspace that operator, trainer and command line share; imports nothing, so all may."""

VARIANTS_FOLDER = "jobs"
"""Has a folder for each job with a parent."""
MANIFEST = "manifest.json"
"""In each artifact's folder: an `ArtifactManifest`."""
