#!/usr/bin/env bash
# layout.sh PROGRAMS FOLDER: everything that is installed, as it lies below a prefix such as /usr/local: the two programs from
# PROGRAMS, the man pages and completions that they write themselves, and the documents. FOLDER is what a .tar.gz holds and
# what pkgbuild takes as --root.
set -euo pipefail
programs=$(cd "$1" && pwd)
mkdir -p "$2"
folder=$(cd "$2" && pwd)
source=$(cd "$(dirname "$0")/../.." && pwd)

mkdir -p "$folder"/bin "$folder"/share/man/man1 "$folder"/share/doc/paintbox "$folder"/share/bash-completion/completions \
  "$folder"/share/zsh/site-functions "$folder"/share/fish/vendor_completions.d
for program in paintbox paintboxd; do
  cp "$programs/$program" "$folder/bin/"
  chmod 755 "$folder/bin/$program"
done
"$programs/paintbox" man "$folder/share/man/man1" > /dev/null
"$programs/paintboxd" man > "$folder/share/man/man1/paintboxd.1"
"$programs/paintbox" completions bash > "$folder/share/bash-completion/completions/paintbox"
"$programs/paintbox" completions zsh > "$folder/share/zsh/site-functions/_paintbox"
"$programs/paintbox" completions fish > "$folder/share/fish/vendor_completions.d/paintbox.fish"
cp "$source"/{README.md,CHANGELOG.md,LICENSE-MIT,LICENSE-APACHE} "$folder/share/doc/paintbox/"
