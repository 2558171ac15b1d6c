#!/usr/bin/env bash
# link-darwin.sh CHECK_DARWIN: builds and links the programs for macOS on Apple silicon, with Metal, without a Mac.
#
# CHECK_DARWIN is the script that brings a standard library, a C compiler and stubs of Apple's frameworks. Its stubs name what its
# own dependencies use; what ours use beside that stands here, a line a framework, each symbol as Apple documents it in that
# framework. A link that fails for another symbol wants a look at who exports it, and a word here. What is linked so shows that
# nothing is missing; it is not for shipping.
set -euo pipefail
check_darwin=$1
root=$(cd "$(dirname "$0")/.." && pwd)
target=$(cd "$root" && cargo metadata --format-version 1 --no-deps --quiet | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
theirs=${DARWIN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/check-darwin}/stubs
ours=$target/darwin-stubs

bash "$check_darwin" setup
rm -rf "$ours"
# Of two frameworks with one name the linker takes the first, so each has the symbols of both.
while read -r framework symbols; do
  mkdir -p "$ours/$framework.framework"
  sed "s/symbols: \[ /symbols: [ $(printf "'_%s', " $symbols)/" "$theirs/$framework.framework/$framework.tbd" \
    > "$ours/$framework.framework/$framework.tbd"
done <<'END'
CoreFoundation CFArrayGetTypeID CFArrayRemoveValueAtIndex CFCopyDescription CFDataGetBytePtr CFDataGetLength CFDataGetTypeID CFDateGetTypeID CFDictionaryAddValue CFDictionaryCreateMutable CFDictionaryGetCount CFDictionaryGetKeysAndValues CFDictionaryGetTypeID CFNumberCreate CFStringCompare
Security SecCertificateGetTypeID SecIdentityGetTypeID SecItemCopyMatching SecItemDelete SecKeyGetTypeID SecKeychainAddGenericPassword SecKeychainCopyDomainDefault SecKeychainFindGenericPassword SecKeychainItemFreeContent SecKeychainItemGetTypeID SecKeychainItemModifyAttributesAndData kSecAttrAccessGroup kSecAttrAccount kSecAttrApplicationLabel kSecAttrKeyClass kSecAttrLabel kSecAttrPublicKeyHash kSecAttrSerialNumber kSecAttrService kSecAttrSynchronizable kSecAttrSynchronizableAny kSecClass kSecClassGenericPassword kSecMatchCaseInsensitive kSecMatchLimit kSecMatchLimitAll kSecMatchSearchList kSecMatchSubjectWholeString kSecMatchTrustedOnly kSecReturnAttributes kSecReturnData kSecReturnRef kSecUseAuthenticationContext kSecUseAuthenticationUI kSecUseAuthenticationUISkip
END
cd "$root"
RUSTFLAGS="-C link-arg=-F$ours" DARWIN_EXPECT="candle_metal_kernels objc2_metal" CARGO_PROFILE_DEV_DEBUG=0 \
  bash "$check_darwin" build --workspace --locked

python3 - "$target/aarch64-apple-darwin/debug" <<'END'
# The head of a Mach-O file (apple-oss-distributions/xnu EXTERNAL_HEADERS/mach-o/loader.h): magic, processor, file type.
import pathlib, struct, sys
MAGIC_64, ARM64, EXECUTE, LOAD_DYLIB = 0xFEEDFACF, 0x0100000C, 2, 0xC
for name in ("paintbox", "paintboxd"):
    data = (pathlib.Path(sys.argv[1]) / name).read_bytes()
    magic, processor, _, kind, commands = struct.unpack_from("<5I", data)
    if (magic, processor, kind) != (MAGIC_64, ARM64, EXECUTE):
        sys.exit(f"{name} is no program for Apple silicon")
    loaded, at = [], 32
    for _ in range(commands):
        command, size, name_at = struct.unpack_from("<3I", data, at)
        if command == LOAD_DYLIB:
            loaded.append(data[at + name_at : at + size].split(b"\0")[0].decode().rsplit("/", 1)[1])
        at += size
    print(f"{name}: {len(data)} bytes, loads {', '.join(loaded)}")
    if name == "paintboxd" and "Metal" not in loaded:
        sys.exit("it does not load Metal")
END
