#!/usr/bin/env bash
# The tests of the pages need a Chromium. Where there is none, Debian's is installed if that takes no password;
# otherwise those tests are skipped and say why.
set -euo pipefail

for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if command -v "$name" >/dev/null; then
    exit 0
  fi
done

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! sudo -n true 2>/dev/null; then
    echo "No Chromium here and no right to install it: the tests of the pages are skipped (apt-get install chromium)."
    exit 0
  fi
  as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null; then
  echo "No Chromium here and no apt-get to install it with: the tests of the pages are skipped."
  exit 0
fi
echo "Installing Chromium for the tests of the pages..."
if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }; then
  echo "Chromium could not be installed: the tests of the pages are skipped."
fi
