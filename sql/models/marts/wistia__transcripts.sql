-- one caption file per language: a finished one before a draft, the newest of several
with chosen as (
    select
        *,
        row_number() over (
            partition by account_id, media_id, language
            order by coalesce(is_draft, false), length(caption_id) desc, {{ wistia.bytewise("caption_id") }} desc
        ) as place
    from {{ ref("stg_wistia__captions") }} as captions
),

captions as (
    select
        account_id,
        media_id,
        language,
        caption_id,
        english_name,
        native_name,
        coalesce(is_draft, false) as is_draft,
        -- files of Windows begin with a byte order mark, and end their lines otherwise
        replace(replace(replace(srt, {{ wistia.byte_order_mark() }}, ''), chr(13) || chr(10), chr(10)), chr(13), chr(10)) as srt
    from chosen
    where place = 1
),

lines as (
    select
        captions.account_id,
        captions.media_id,
        captions.language,
        lines.position,
        lines.part as line,
        {% set clock = "([0-9]+(?::[0-9]+)+(?:[,.][0-9]+)?)" -%}
        replace({{ wistia.matched("lines.part", "^[ \\t]*" ~ clock ~ "[ \\t]*-->") }}, ',', '.') as start_clock,
        replace({{ wistia.matched("lines.part", "^[ \\t]*[0-9:,.]+[ \\t]*-->[ \\t]*" ~ clock) }}, ',', '.') as end_clock
    from captions
    {{ wistia.split("captions.srt", "\\n", "lines") }}
),

-- clocks, and not blank lines, part the cues: some files have too few of them, some too many
numbered as (
    select
        *,
        count(start_clock) over (
            partition by account_id, media_id, language order by position
        ) as cue_number,
        lead(start_clock) over (
            partition by account_id, media_id, language order by position
        ) is not null and {{ wistia.matched("line", "^[ \\t]*([0-9]+)[ \\t]*$") }} is not null as is_number_of_cue
    from lines
),

timed as (
    select
        account_id,
        media_id,
        language,
        cue_number,
        max({{ wistia.clock_seconds("start_clock") }}) as start_seconds,
        max({{ wistia.clock_seconds("end_clock") }}) as end_seconds,
        {{ wistia.joined("case when start_clock is null and not is_number_of_cue then line end", "position") }} as spoken
    from numbered
    where cue_number > 0
    group by account_id, media_id, language, cue_number
),

cues as (
    select *
    from (
        select
            account_id,
            media_id,
            language,
            cue_number,
            start_seconds,
            end_seconds,
            trim({{ wistia.without_markup("spoken") }}) as cue_text
        from timed
    ) as spoken
    where cue_text != ''
),

transcripts as (
    select
        account_id,
        media_id,
        language,
        {{ wistia.joined("cue_text", "cue_number") }} as transcript,
        count(*) as cue_count,
        {{ wistia.json_list(
            {"start_seconds": "start_seconds", "end_seconds": "end_seconds", "text": "cue_text"}, "cue_number"
        ) }} as cues
    from cues
    group by account_id, media_id, language
)

select
    captions.account_id,
    captions.media_id,
    medias.media_name,
    captions.language,
    captions.english_name,
    captions.native_name,
    captions.caption_id,
    captions.is_draft,
    coalesce(transcripts.transcript, '') as transcript,
    case when coalesce(transcripts.transcript, '') = '' then 0
        else cast(length(transcripts.transcript) - length(replace(transcripts.transcript, ' ', '')) + 1 as bigint)
    end as word_count,
    coalesce(transcripts.cue_count, 0) as cue_count,
    transcripts.cues
from captions
left join transcripts
    on {{ wistia.same(["account_id", "media_id", "language"], "captions", "transcripts") }}
left join {{ ref("stg_wistia__medias") }} as medias
    on {{ wistia.same(["account_id", "media_id"], "captions", "medias") }}
