# Run inside fresh namespaces by `mod.rs`: builds a root of its own and enters it without privileges.
# Arguments: root, cpu seconds, bytes of memory, bytes of files, then the program.
set -e
root=$1 cpu=$2 memory=$3 files=$4
shift 4
mount -t tmpfs -o "size=$files,mode=755,nosuid,nodev" scratch "$root"
mkdir "$root/tmp"
for name in usr bin sbin lib lib32 lib64; do
  if [ -L "/$name" ]; then
    cp -P "/$name" "$root/$name"
  elif [ -d "/$name" ]; then
    mkdir "$root/$name"
    mount --bind "/$name" "$root/$name"
    mount -o remount,bind,ro "$root/$name"
  fi
done
exec chroot "$root" /usr/bin/prlimit --cpu="$cpu" --as="$memory" --fsize="$files" --nproc=64 --nofile=64 --core=0 \
  /usr/bin/setpriv --no-new-privs --bounding-set=-all --inh-caps=-all \
  /usr/bin/env -i -C /tmp PATH=/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 \
  /bin/sh -c 'command -v "$1" >/dev/null || { echo "there is no program $1"; exit 127; }; echo ready; exec "$@"' sh "$@"
