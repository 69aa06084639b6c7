"""The same models on Ray: served by replicas, and asked about whole folders. It needs `scale/requirements.txt`."""
