-- Previews in two sizes.

-- Lists and grids show it, a page shows the thumbnail. Rows from before get one when their preview is next planned.
ALTER TABLE preview ADD COLUMN small_thumbnail_asset_id INTEGER REFERENCES asset (asset_id);
