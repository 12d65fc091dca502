"""Servers on this machine that answer as the publishers' do, and as broken networks do."""
