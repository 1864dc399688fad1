-- A part of many columns is hundreds of files, and making them was a fifth of what an insert costs. Parts
-- below this size have their columns in one file; what is merged of them soon is larger.
ALTER TABLE events
    MODIFY SETTING min_bytes_for_wide_part = 134217728
