"""What the exporter is deployed with: each file is checked by what reads it, and against the others."""
