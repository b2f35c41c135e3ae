"""What a workspace says of the SSH server under test."""

from __future__ import annotations


def host_entry(sshd, **settings):
    """Return the lines of nasexp.yaml that make the server the host `gpu`."""
    usual = {"address": sshd.address, "port": sshd.port, "identity": sshd.identity}
    entry = "".join(f"    {key}: {value}\n" for key, value in {**usual, **settings}.items())
    return f"host: gpu\nconnect: {{patience: 0s}}\nhosts:\n  gpu:\n{entry}"
