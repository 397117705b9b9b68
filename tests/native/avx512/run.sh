#!/usr/bin/env bash
# Runs a statically linked x86-64 Linux program on an emulated CPU with AVX-512, VNNI and BF16. Its output (both streams
# in one) and its status are passed on; 128+N: ended by signal N; 124: out of time; 125: it was not run to its end.
# Usage: run.sh [-t SECONDS] [-d DIRECTORY] PROGRAM [ARGUMENTS...]
#   -t  limit in seconds of this machine's time, 600 unless given
#   -d  where setup.sh has put the emulator, build/avx512 of the checkout unless given
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
limit=600
emulator=$here/../../../build/avx512
# One CPU and no APIC, ACPI or mitigations: each would only take time to start. A panic ends the run at once.
kernel_options=(quiet console=ttyS0,115200 panic=-1 nosmp acpi=off nolapic noapic no_timer_check nokaslr mitigations=off
  random.trust_cpu=on apparmor=0 audit=0 cryptomgr.notests)

die() {
  echo "run: $*" >&2
  exit 125
}

while getopts 't:d:' option; do
  case $option in
    t) limit=$OPTARG ;;
    d) emulator=$OPTARG ;;
    *) exit 125 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || die 'no program is given'
[ -x "$1" ] || die "$1 is not an executable file"
[ -x "$emulator/bochs" ] || die "no emulator in $emulator: run setup.sh"
emulator=$(cd "$emulator" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A CD image that boots the kernel at once, with the program in the initramfs.
write_image() {
  local program=$1 tree=$scratch/tree
  mkdir "$tree"
  printf '%s\0' "$@" > "$scratch/arguments"
  python3 "$here/initramfs.py" "$tree/initramfs" init="$emulator/init" program="$program" \
    arguments="$scratch/arguments"
  cp "$emulator/root/usr/lib/ISOLINUX/isolinux.bin" "$emulator/root/usr/lib/syslinux/modules/bios/ldlinux.c32" \
    "$emulator/vmlinuz" "$tree"
  cat > "$tree/isolinux.cfg" << END
default linux
label linux
  kernel vmlinuz
  append initrd=initramfs ${kernel_options[*]}
END
  LD_LIBRARY_PATH=$emulator/root/usr/lib/x86_64-linux-gnu "$emulator/root/usr/bin/xorriso" -as mkisofs -quiet \
    -o "$scratch/image" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table "$tree" \
    2> "$scratch/xorriso.log" || die "xorriso: $(cat "$scratch/xorriso.log")"
}

# ips is how many instructions make a second of the emulated clock, which goes at its own pace: clock: sync=none.
write_configuration() {
  ln -s "$emulator/root/usr/share/bochs/BIOS-bochs-latest" "$scratch/bios"
  ln -s "$emulator/root/usr/share/vgabios/vgabios.bin" "$scratch/vgabios"
  cat > "$scratch/bochsrc" << 'END'
config_interface: textconfig
display_library: nogui
cpu: model=corei7_skylake_x, count=1, ips=10000000, reset_on_triple_fault=0, ignore_bad_msrs=1
cpu: add_features="avx512vnni avx512bf16"
memory: guest=512, host=512
romimage: file=bios
vgaromimage: file=vgabios
ata0: enabled=1
ata0-master: type=cdrom, path=image, status=inserted
ata1: enabled=0
boot: cdrom
clock: sync=none, time0=946684800
port_e9_hack: enabled=1
com1: enabled=1, mode=file, dev=console
log: log
panic: action=fatal
error: action=ignore
END
}

# Bochs ends with status 1 when the guest switches itself off: what init.c wrote tells how the program ended.
run_bochs() {
  local status=0
  (cd "$scratch" && exec timeout -k 5 "$limit" "$emulator/bochs" -q -f bochsrc < /dev/null > output 2> errors) ||
    status=$?
  if [ "$status" -eq 137 ]; then status=124; fi  # timeout had to kill it
  awk '/^@@avx512 (exit|signal) /{ exit } begun { print } /@@avx512 begin$/ { begun = 1 }' "$scratch/output"
  return "$status"
}

report() {
  local bochs_status=$1 how number
  read -r how number < <(sed -n 's/^@@avx512 \(exit\|signal\) /\1 /p' "$scratch/output") || true
  case ${how:-none} in
    exit) exit "$number" ;;
    signal) echo "run: ended by signal $number" >&2; exit $((128 + number)) ;;
  esac
  if [ "$bochs_status" -eq 124 ]; then
    echo "run: not done after $limit s" >&2
    exit 124
  fi
  tail -n 8 "$scratch/console" "$scratch/log" "$scratch/errors" >&2 || true
  die "the machine ended without a status (Bochs: $bochs_status)"
}

write_image "$@"
write_configuration
status=0
run_bochs || status=$?
report "$status"
