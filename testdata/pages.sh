#!/usr/bin/env bash
# The report's pages in a real Chromium, with axe's automatic rules of accessibility, which npm fetches into .pages.
set -euo pipefail
cd "$(dirname "$0")/.."
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || command -v chrome || true)
if [ -z "$browser" ]; then
  echo "pages: skipped, there is no Chromium on this machine (Debian: apt-get install chromium)" >&2
  exit 0
fi
axe=.pages/package/axe.min.js
if [ ! -s "$axe" ]; then
  mkdir -p .pages
  if command -v npm >/dev/null && (cd .pages && npm pack --silent axe-core@4.14.1 >/dev/null && tar -xzf axe-core-*.tgz package/axe.min.js); then :; else
    echo "pages: axe-core could not be fetched (npm): its rules are not checked" >&2
  fi
fi
[ -s "$axe" ] && export BENCH_AXE=$PWD/$axe
go test -count=1 -v -run TestPagesInABrowser ./internal/report
