select
    account_id,
    project_id,
    numeric_id,
    name as project_name,
    nullif(description, '') as description,
    media_count,
    created as created_at,
    updated as updated_at,
    public as is_public,
    kind,
    deleted_at,
    _dlt_load_id
from {{ source('wistia', 'projects') }} as projects
