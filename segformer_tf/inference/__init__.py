"""A trained model -> what users run: pipelines, exports, a server."""
