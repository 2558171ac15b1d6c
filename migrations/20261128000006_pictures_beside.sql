-- Pictures beside files of libraries, of which no thumbnails were made yet. The addresses of hubs' pictures do not begin
-- like a path.
CREATE INDEX preview_unread_in_libraries ON preview (preview_id)
    WHERE thumbnail_asset_id IS NULL AND failure_json IS NULL AND substr(url, 1, 1) = '/';
