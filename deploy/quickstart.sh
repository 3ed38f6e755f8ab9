#!/usr/bin/env bash
# The main job on real input: a folder of images becomes a searchable index. quickstart.sh BIN [FOLDER]
set -euo pipefail
catalog="$1/catalog"
folder=${2:-}
name=quickstart
manifest=()

step() {
  if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

photographs=${CLOTHING_DATA:-../shared/data/clothing}
if [ -n "$folder" ]; then
  if [ ! -d "$folder" ]; then
    echo "error: CATALOG=$folder is no folder; give one that holds images, as in: make quickstart CATALOG=/path/to/images" >&2
    exit 1
  fi
  name=$(basename "$(cd "$folder" && pwd)" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' '-' | sed 's/^-*//; s/-*$//' | cut -c1-40 | sed 's/-*$//')
  name=${name:-quickstart}
elif [ -d "$photographs/images" ]; then
  folder=$photographs
  name=photographs
else
  folder=sample-catalog
  name=sample
  step "Draw a sample catalog (no photographs at hand; use your own with: make quickstart CATALOG=/path/to/images)"
  "$catalog" sample "$folder" --images 1000
  manifest=(--manifest "$folder/manifest.csv")
fi

step "Index $folder"
status=0
"$catalog" ingest "$folder" "${manifest[@]}" --name "$name" || status=$?
if [ "$status" -ne 0 ]; then
  exit "$status"
fi

step "Search it: what looks like one of its own images?"
query=$("$catalog" browse --name "$name" --limit 1 --json | "$1/python" -c 'import json, sys; line = sys.stdin.readline(); print(json.loads(line)["key"] if line else "")')
if [ -z "$query" ]; then
  echo "no image of $folder could be indexed; see why with: $catalog quarantine --name $name" >&2
  exit 1
fi
"$catalog" search --key "$query" --name "$name" -k 6 --board board

step "Look, and go on"
cat <<TEXT
  the query and its neighbours, side by side:   board.html (or board.png)
  search with a picture of yours:               $catalog search photo.jpg --name $name
  filter, spread out, one hit a product:        $catalog search photo.jpg --name $name --category dress --diversity 0.3 --group-by product
  what the model sees in a picture:             $catalog classify photo.jpg
  after the folder changed, the same again:     $catalog ingest $folder ${manifest[*]:+${manifest[*]} }--name $name
  what could not be indexed, and why:           $catalog quarantine --name $name
  is everything well:                           $catalog doctor
Ledger, index and model lie under .catalog (CATALOG_HOME moves them); remove that folder to start over.
TEXT
