#!/bin/sh
# Installs the Debian packages that a make target needs, or prints the one line to type.   deps.sh build|test|bench|analyze
set -eu
build="gcc make meson ninja-build pkg-config python3 libcrypt-dev libcurl4-openssl-dev libidn2-dev libjansson-dev libseccomp-dev libsodium-dev libsqlite3-dev libssl-dev libunbound-dev libunistring-dev libuv1-dev libzstd-dev libcmocka-dev"
test="$build clang libclang-rt-14-dev llvm curl swaks libnet-ssleay-perl msmtp mpop mutt fetchmail libgsasl-dev gsasl openssl procps strace postfix dovecot-core dovecot-pop3d"
bench="$test dovecot-lmtpd linux-perf"
analyze="$build clang clang-tidy cppcheck"
eval "wanted=\$$1"

missing=
for package in $wanted; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "ekirei: these packages (Debian's names) seem to be missing:$missing" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root=sudo; else
    line="apt-get update && apt-get install -y --no-install-recommends$missing"
    if command -v sudo >/dev/null; then how="sudo sh -c"; else how="su -c"; fi
    printf 'ekirei: some packages are missing; please type this first:\n\n    %s "%s"\n\n' "$how" "$line" >&2
    exit 1
fi
echo "ekirei: installing$missing"
# Mail servers among the packages must not start by themselves.
guard=
if [ "$1" != build ] && [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
    $as_root chmod 755 /usr/sbin/policy-rc.d
    guard=1
fi
status=0
log=$(mktemp)
{ $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing; } </dev/null >"$log" 2>&1 || status=$?
[ -z "$guard" ] || $as_root rm -f /usr/sbin/policy-rc.d
[ $status = 0 ] || { tail -20 "$log" >&2; echo "ekirei: apt-get could not install them; the lines above say why" >&2; }
rm -f "$log"
exit $status
