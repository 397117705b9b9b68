#!/usr/bin/env bash
# Fetches Debian's Python for aarch64, which root/usr/bin/python runs under qemu-aarch64. Nothing is installed; what is
# there already is kept. See docs/testing-aarch64.md.
# Usage: setup.sh DIRECTORY        root/ in it becomes the system
set -euo pipefail
mkdir -p "$1"
target=$(cd "$1" && pwd)

keys=/usr/share/keyrings/debian-archive-keyring.gpg
packages=(libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 libssl3 libuuid1
  libpython3.11-minimal python3.11-minimal libpython3.11-stdlib libpython3.11-dev)

# The apt tool NAME for arm64, with lists and a cache of its own, and no other source than Debian.
apt_private() {
  local name=$1
  shift
  "$name" -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 \
    -o Dir::Etc::sourcelist="$target/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$target/apt/lists" -o Dir::Cache="$target/apt/cache" \
    -o Acquire::Languages=none -o APT::Sandbox::User= "$@"
}

fetch() {
  local package
  rm -rf "$target/apt" "$target/packages" "$target/root"
  mkdir -p "$target/apt/lists/partial" "$target/apt/cache/archives/partial" "$target/packages"
  echo "deb [signed-by=$keys] http://deb.debian.org/debian bookworm main" > "$target/apt/sources.list"
  apt_private apt-get update
  (cd "$target/packages" && apt_private apt-get download "${packages[@]}")
  for package in "$target"/packages/*.deb; do dpkg-deb --extract "$package" "$target/root"; done
  ln -s ../aarch64-linux-gnu "$target/root/usr/include/python3.11/"  # where pyconfig.h of Debian looks for the other
  rm -r "$target/apt" "$target/packages"
}

# A script, so that Python can start itself: what it starts runs on this machine. It finds its library by its own path.
# Without SVE and SME, with which NumPy's products warn of divisions by zero under qemu 7.2 (their results are right).
write_python() {
  cat > "$target/root/usr/bin/python" << END
#!/bin/sh
exec qemu-aarch64 -cpu max,sve=off,sme=off -L "$target/root" -0 "\$0" "$target/root/usr/bin/python3.11" "\$@"
END
  chmod +x "$target/root/usr/bin/python"
}

if [ ! -e "$target/root/usr/bin/python" ]; then
  command -v apt-get > /dev/null && [ -e "$keys" ] ||
    { echo "setup: expected apt-get and $keys (debian-archive-keyring)" >&2; exit 1; }
  fetch
  write_python
fi
