#!/bin/sh
# Make a certificate authority of the fleet's own and, signed by it, the certificate of Redis:
#   make-certificates.sh FOLDER NAME,ADDRESS,…
# What is there and good for another month stays. Prints "changed" or "unchanged".
set -eu
umask 077
folder=$1
names=$2

month_s=2592000
mkdir -p "$folder"
cd "$folder"

if [ ! -s ca.pem ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/CN=lipsync fleet" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.part
    mv ca.part ca.pem
    chmod 644 ca.pem
fi

alternatives=
for name in $(echo "$names" | tr , ' '); do
    case $name in
        *[!0-9.]*) kind=DNS ;;
        *) kind=IP ;;
    esac
    case $name in
        *:*) kind=IP ;;
    esac
    alternatives=$alternatives${alternatives:+,}$kind:$name
done

if [ -s redis.pem ] && [ "$(cat redis.names 2>/dev/null)" = "$alternatives" ] &&
    openssl verify -CAfile ca.pem redis.pem >/dev/null 2>&1 &&
    openssl x509 -in redis.pem -noout -checkend "$month_s" >/dev/null; then
    echo unchanged
    exit 0
fi
if [ ! -s ca.key ]; then
    echo "The certificate of Redis in $folder must be made anew, and ca.key is not there: put it back, or set lipsync_redis_tls to given." >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n' \
    "$alternatives" >"$work/extensions"
openssl ecparam -name prime256v1 -genkey -noout -out "$work/key"
openssl req -new -key "$work/key" -subj "/CN=redis" -out "$work/request"
openssl x509 -req -in "$work/request" -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days 820 \
    -extfile "$work/extensions" -out "$work/certificate" 2>/dev/null
cat "$work/certificate" "$work/key" >redis.part
mv redis.part redis.pem
echo "$alternatives" >redis.names
echo changed
