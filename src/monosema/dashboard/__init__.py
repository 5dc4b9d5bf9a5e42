"""The page on which features are looked at: one offline file, or a server."""

from monosema.dashboard.contract import Provider
from monosema.dashboard.page import write_page
from monosema.dashboard.provider import StoreProvider
from monosema.dashboard.server import application, serve

__all__ = ["Provider", "StoreProvider", "application", "serve", "write_page"]
