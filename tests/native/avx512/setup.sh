#!/usr/bin/env bash
# Fetches and builds what run.sh needs to run AVX-512 programs on any x86-64 machine. Nothing is installed; what is
# there already is kept, so that a second call takes no time. See docs/testing-avx512.md.
# Usage: setup.sh [DIRECTORY]        DIRECTORY: build/avx512 of the checkout unless given
#        JOBS=2 setup.sh             parallel compilations, 1 unless given
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${1:-$here/../../../build/avx512}
mkdir -p "$target"
target=$(cd "$target" && pwd)

# Debian 12 for what is used as it is, Debian 13 for Bochs: the 2.7 of Debian 12 has no BF16.
binary_release=bookworm
source_release=trixie
packages=(bochsbios vgabios isolinux syslinux-common xorriso libisoburn1 libisofs6 libburn4 libjte2)
kernel_package=linux-image-cloud-amd64

# The apt tool NAME with lists and a cache of its own, and no other source than Debian: the machine's stay as they are.
apt_private() {
  local name=$1
  shift
  "$name" -qq -o Dir::Etc::sourcelist="$target/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$target/apt/lists" -o Dir::Cache="$target/apt/cache" \
    -o Acquire::Languages=none -o APT::Sandbox::User= "$@"
}

fetch_indices() {
  local debian='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian'
  rm -rf "$target/apt" "$target/packages"
  mkdir -p "$target/apt/lists/partial" "$target/apt/cache/archives/partial" "$target/packages"
  printf '%s\n' "deb ${debian/\[/[arch=amd64 } $binary_release main" "deb-src $debian $source_release main" \
    > "$target/apt/sources.list"
  apt_private apt-get update
}

# A kernel, the BIOSes and the tools that make a bootable CD image, unpacked into root/.
fetch_packages() {
  local kernel package
  # The package is a pointer to the one that has the kernel of the day.
  kernel=$(apt_private apt-cache depends "$kernel_package" | awk '/Depends: linux-image/ { print $2; exit }')
  [ -n "$kernel" ] || { echo "setup: $kernel_package names no kernel" >&2; exit 1; }
  (cd "$target/packages" && apt_private apt-get download "${packages[@]}" "$kernel")
  for package in "$target"/packages/*.deb; do
    case $package in
      */linux-image*)  # its modules are ten times as large, and not needed
        dpkg-deb --fsys-tarfile "$package" | tar -xO --wildcards './boot/vmlinuz-*' > "$target/vmlinuz" ;;
      *) dpkg-deb --extract "$package" "$target/root" ;;
    esac
    rm "$package"
  done
}

# Neither Debian's build rules nor its changes are wanted: the tarball alone. apt checks it against the signed index.
fetch_bochs() {
  (cd "$target/packages" && apt_private apt-get source --download-only --tar-only bochs)
}

unpack_bochs() {
  rm -rf "$target/bochs-source"
  mkdir "$target/bochs-source"
  tar -xf "$target"/packages/bochs_*.orig.tar.* -C "$target/bochs-source" --strip-components=1
}

# replace FILE FROM TO OLD NEW: the one OLD between the lines FROM and TO becomes NEW. All are patterns of sed. That
# there is exactly one is checked: a Bochs that reads otherwise is an error, not an emulator that lacks something.
replace() {
  local file=$1 range="/$2/,/$3/" old=$4 new=$5 found
  found=$(sed -n "$range{/$old/p}" "$file" | wc -l)
  [ "$found" -eq 1 ] || { echo "setup: $found lines, not one, match '$old' in $range of $file" >&2; exit 1; }
  sed -i "$range s/$old/$new/" "$file"
}

# The Skylake-X model boots Linux, but its CPUID is a table. Two things in it have to follow the configuration.
edit_bochs() {
  local model=$target/bochs-source/cpu/cpudb/intel/corei7_skylake-x.cc
  # 1. Leaf 7 reports what add_features adds in run.sh (VNNI in ecx; BF16 in sub-leaf 1), instead of zeros.
  replace "$model" 'report max sub-leaf' 'break;' 'leaf->eax = 0;' 'leaf->eax = 1;'
  replace "$model" 'report max sub-leaf' 'break;' 'leaf->ecx = 0;' 'leaf->ecx = get_std_cpuid_leaf_7_ecx();'
  replace "$model" 'report max sub-leaf' 'break;' 'leaf->edx = 0;' 'leaf->edx = get_std_cpuid_leaf_7_edx();'
  replace "$model" '= get_std_cpuid_leaf_7_edx' '^}' 'leaf->eax = 0;' \
    'leaf->eax = subfunction == 1 ? get_std_cpuid_leaf_7_subleaf_1_eax() : 0;'
  # 2. Leaves 15h and 16h give the clock rate of a real chip, which the emulated one does not have. Empty, they make the
  #    kernel measure it.
  replace "$model" 'case 0x00000015:' 'return;' 'get_leaf(leaf, .*' 'get_reserved_leaf(leaf);'
  replace "$model" 'case 0x00000016:' 'return;' 'get_leaf(leaf, .*' 'get_reserved_leaf(leaf);'
}

build_bochs() {
  local build=$target/bochs-build log=$target/bochs-build.log
  rm -rf "$build"
  mkdir "$build"
  echo "setup: compiling Bochs, some minutes (log: $log)"
  # Without show-ips, whose handler logs from within a signal handler and now and then waits for its own lock for ever.
  (cd "$build" && "$target/bochs-source/configure" --with-nogui --enable-cpu-level=6 --enable-x86-64 --enable-avx \
    --enable-evex --enable-all-optimizations --enable-pci --enable-fpu --disable-show-ips --disable-debugger \
    --disable-docbook CFLAGS=-O2 CXXFLAGS=-O2 && make -j"${JOBS:-1}" bochs) > "$log" 2>&1 ||
    { tail -n 20 "$log" >&2; exit 1; }
  strip -o "$target/bochs.new" "$build/bochs"
  mv "$target/bochs.new" "$target/bochs"  # in one step: what is there is complete
  rm -rf "$build" "$target/bochs-source"
}

build_init() {
  gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -o "$target/init" "$here/init.c"
}

if [ ! -e "$target/fetched" ]; then
  fetch_indices
  fetch_packages
  fetch_bochs
  rm -rf "$target/apt"
  touch "$target/fetched"
fi
if [ ! -e "$target/bochs" ]; then
  unpack_bochs
  edit_bochs
  build_bochs
fi
if [ "$here/init.c" -nt "$target/init" ]; then build_init; fi
