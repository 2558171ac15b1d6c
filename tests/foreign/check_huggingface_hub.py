"""The fake hub as huggingface_hub sees it: the client that nobody here wrote must not notice the difference.

Called by run.sh with the fake hub's endpoints in FAKE_HUB (one line of JSON), HF_ENDPOINT and a private HF_HOME set
before Python starts, because the library reads them when it is imported.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, snapshot_download
from huggingface_hub import __version__ as version
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

HUB = json.loads(os.environ["FAKE_HUB"])
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
ORGANISATION = HUB["organisation"]
MODEL = f"{ORGANISATION}/tiny-emoji"
LORA = f"{ORGANISATION}/greyscale-lora"
GATED = f"{ORGANISATION}/gated"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"

anonymous = HfApi(token=False)
known = HfApi(token=HUB["hf_token"])


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def git_blob(path):
    content = Path(path).read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def listing_an_author_finds_every_repository():
    found = {model.id for model in anonymous.list_models(author=ORGANISATION)}
    assert found == {MODEL, LORA, GATED}, found


def a_listing_follows_the_link_header():
    found = [model.id for model in anonymous.list_models(author=ORGANISATION, sort="last_modified", limit=2)]
    assert len(found) == 2, found
    files = list(anonymous.list_repo_tree(MODEL, recursive=True))
    assert len(files) >= 20, len(files)


def full_listings_carry_commits_and_files():
    models = list(anonymous.list_models(author=ORGANISATION, full=True, cardData=True))
    model = next(model for model in models if model.id == MODEL)
    assert len(model.sha) == 40 and model.last_modified.year == 2026, model
    assert WEIGHTS in {sibling.rfilename for sibling in model.siblings}
    assert model.card_data.license == "apache-2.0", model.card_data


def info_with_files_metadata_agrees_with_the_bytes():
    info = anonymous.model_info(MODEL, files_metadata=True)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings}
    assert siblings[WEIGHTS].lfs.size == siblings[WEIGHTS].size > 11_000_000
    path = hf_hub_download(MODEL, WEIGHTS, token=False)
    assert sha256(path) == siblings[WEIGHTS].lfs.sha256
    path = hf_hub_download(MODEL, "model_index.json", token=False)
    assert git_blob(path) == siblings["model_index.json"].blob_id
    assert info.pipeline_tag == "text-to-image" and "diffusers:StableDiffusionPipeline" in info.tags, info.tags


def trees_and_path_infos_agree():
    tree = {entry.path: entry for entry in anonymous.list_repo_tree(MODEL, recursive=True)}
    infos = anonymous.get_paths_info(MODEL, [WEIGHTS, "unet", "no such file"])
    assert [info.path for info in infos] == [WEIGHTS, "unet"], infos
    assert infos[0].lfs.sha256 == tree[WEIGHTS].lfs.sha256
    assert infos[1].tree_id == tree["unet"].tree_id
    folder = {entry.path for entry in anonymous.list_repo_tree(MODEL, "vae")}
    assert folder == {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"}, folder


def a_snapshot_holds_every_byte():
    folder = Path(snapshot_download(MODEL, token=False))
    for entry in anonymous.list_repo_tree(MODEL, recursive=True):
        if not hasattr(entry, "size"):
            continue
        path = folder / entry.path
        digest = sha256(path) == entry.lfs.sha256 if entry.lfs else git_blob(path) == entry.blob_id
        assert digest, entry.path
    kept = FIXTURES / "tiny-model/diffusers/tokenizer/tokenizer.json"
    assert sha256(folder / "tokenizer/tokenizer.json") == sha256(kept)


def a_broken_download_goes_on_where_it_stopped():
    whole = Path(hf_hub_download(LORA, "pytorch_lora_weights.safetensors", token=False))
    content, etag = whole.read_bytes(), sha256(whole)
    with tempfile.TemporaryDirectory() as cache:
        repository = Path(cache) / f"models--{LORA.replace('/', '--')}" / "blobs"
        repository.mkdir(parents=True)
        (repository / f"{etag}.incomplete").write_bytes(content[:100_000])
        again = hf_hub_download(LORA, "pytorch_lora_weights.safetensors", token=False, cache_dir=cache)
        assert sha256(again) == etag


def a_commit_stays_readable_by_its_id():
    commit = anonymous.model_info(MODEL).sha
    assert anonymous.model_info(MODEL, revision=commit).sha == commit
    path = hf_hub_download(MODEL, "vae/config.json", revision=commit, token=False)
    assert commit in str(path), path
    assert anonymous.list_repo_refs(MODEL).branches[0].target_commit == commit
    assert anonymous.list_repo_commits(MODEL)[0].commit_id == commit


def a_former_id_leads_to_the_present_one():
    assert anonymous.model_info(f"{ORGANISATION}/emoji-diffusion").id == MODEL
    assert anonymous.model_info("emoji-diffusion").id == MODEL
    assert Path(hf_hub_download("emoji-diffusion", "model_index.json", token=False)).is_file()


def what_is_missing_is_told_by_its_kind():
    raises(EntryNotFoundError, lambda: hf_hub_download(MODEL, "nothing.bin", token=False))
    raises(RevisionNotFoundError, lambda: anonymous.model_info(MODEL, revision="nowhere"))
    # To strangers a missing repository is a 401 without a code. The library calls that "not found" for https only.
    error = raises(HfHubHTTPError, lambda: anonymous.model_info(f"{ORGANISATION}/nothing"))
    assert error.response.status_code == 401 and "X-Error-Code" not in error.response.headers, error.response.headers
    raises(RepositoryNotFoundError, lambda: known.model_info(f"{ORGANISATION}/nothing"))


def a_gated_repository_shows_its_tree_and_keeps_its_files():
    assert anonymous.model_info(GATED).gated == "manual"
    assert any(entry.path == "config.json" for entry in anonymous.list_repo_tree(GATED))
    raises(GatedRepoError, lambda: hf_hub_download(GATED, "config.json", token=False))
    raises(GatedRepoError, lambda: hf_hub_download(GATED, "config.json", token=HUB["hf_token"]))


def a_token_is_known_by_its_account():
    assert known.whoami()["name"] == "you"
    raises(Exception, lambda: HfApi(token="hf_of_nobody").whoami())


def an_author_has_an_overview():
    assert anonymous.get_organization_overview(ORGANISATION).name == ORGANISATION
    raises(HfHubHTTPError, lambda: anonymous.get_user_overview("nobody-at-all"))


def a_real_repository_lists_as_it_does_on_the_hub():
    sdxl = "stabilityai/stable-diffusion-xl-base-1.0"
    url = f"{constants.ENDPOINT}/{sdxl}/resolve/main/sd_xl_base_1.0.safetensors"
    metadata = get_hf_file_metadata(url, token=False)
    assert metadata.size == 6_938_078_334, metadata
    assert metadata.etag == "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b", metadata


def main():
    assert constants.ENDPOINT == HUB["hf"], "HF_ENDPOINT must be set before Python starts"
    checks = [value for name, value in globals().items() if callable(value) and getattr(value, "__module__", "") == __name__]
    checks = [check for check in checks if check.__name__ not in {"main", "sha256", "git_blob", "raises"}]
    passed = failed = 0
    for check in checks:
        name = check.__name__.replace("_", " ")
        try:
            check()
        except Exception as error:
            failed += 1
            print(f"FAILED  huggingface_hub {version}: {name}: {type(error).__name__}: {error}")
        else:
            passed += 1
            print(f"passed  huggingface_hub {version}: {name}")
    print(f"result {passed} {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
