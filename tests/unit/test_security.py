"""SECURITY.md promises what tests show: each of its sentences, by which.

A sentence is known by how it begins. Whoever promises more names here what shows it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOWN: dict[str, list[str]] = {
    "Workers and planner accept no other content": [
        "test_redis_access::test_a_password_and_messages_that_nobody_should_send",
    ],
    "What is no task at all is thrown away": [
        "test_redis_access::test_a_password_and_messages_that_nobody_should_send",
        "test_poison::test_junk_among_delivered_messages_is_dropped",
    ],
    "A message asks for a step": [
        "test_forged_canvas::test_a_task_that_is_none_of_ours_is_thrown_away",
        "test_forged_canvas::test_forged_callbacks_chords_and_chains_run_nothing_and_end_no_worker",
    ],
    "A script is an argument list": [
        "test_no_shell::test_arguments_are_handed_over_as_they_are",
    ],
    "Dates are filled in": [
        "test_no_shell::test_arguments_are_handed_over_as_they_are",
        "test_choices::test_what_cannot_be_chosen_is_refused",
        "test_choices::test_a_value_that_redis_holds_has_to_match_when_it_is_used",
        "test_choices::test_what_is_put_in_is_not_looked_at_again",
    ],
    "`planner up` and `python -P -m worker`": [
        "test_current_folder::test_a_worker_runs_no_code_of_the_current_folder",
    ],
    "A file that is written follows": [
        "test_files::test_a_link_is_written_through",
        "test_files::test_a_device_is_written_into",
        "test_files::test_a_pipe_is_written_into",
    ],
    "Inputs that are devices": [
        "test_files::test_a_device_is_no_input",
        "test_files::test_a_pipe_without_a_writer_is_no_input",
        "test_hostile_inputs::test_a_file_that_is_named",
        "test_hostile_inputs::test_a_setting",
        "test_pipeline_folder::test_what_is_no_pipeline_file_is_said_and_the_others_are_read",
    ],
    "A name that looks like a setting": [
        "test_settings::test_every_command_says_what_is_misspelt",
    ],
    "Values reach SQL as parameters": [
        "test_where::test_no_value_is_pasted",
    ],
    "Names of tables and columns": [
        "test_pipeline::test_a_table_is_nothing_but_a_name",
        "test_pipeline::test_a_column_is_nothing_but_a_name",
    ],
    "The name of a statement": [
        "test_statements::test_no_name_leads_out_of_the_folder",
    ],
    "A pipeline file names the environment variable": [
        "test_secrets::test_a_secret_is_nowhere",
    ],
    "`planner settings` and error messages": [
        "test_settings::test_no_password_is_shown_however_it_is_written",
        "test_settings::test_an_address_is_shown_without_its_password",
    ],
    "Workers black out": [
        "test_secret_forms::test_names_that_say_secret",
        "test_secret_forms::test_passwords_in_addresses",
        "test_output::test_what_is_secret_is_known_by_name_and_by_place",
    ],
    "They do so however a program printed it": [
        "test_secret_forms::test_a_secret_in_any_form_split_anywhere_in_any_stream_is_nowhere",
        "test_secret_forms::test_a_secret_is_not_cut_in_two_where_a_long_line_is",
    ],
    "So messages, plans, reports": [
        "test_secrets::test_a_secret_is_nowhere",
    ],
    "Scripts get the worker's environment": [
        "test_secret_forms::test_names_and_words_that_do_not",
        "test_secrets::test_a_secret_is_nowhere",
    ],
    "One record of a worker's log": [
        "test_secret_forms::test_what_is_logged_cannot_look_like_lines_of_the_log",
    ],
    "As JSON it is one line": [
        "test_traces::test_no_text_forges_a_line_of_a_json_log",
    ],
    "`rediss://` checks": [
        "test_redis_access::test_a_certificate_is_verified_unless_told_otherwise_by_every_client",
        "test_redis_access::test_a_certificate_for_another_host_is_refused_by_every_client",
    ],
    "A redirect of a service": [
        "test_redirects::test_a_service_s_redirect_is_not_followed",
        "test_redirects::test_a_web_hook_s_redirect_is_not_followed",
    ],
    "Folders and files made in": [
        "test_others::test_files_are_for_their_owner_whatever_the_umask",
        "test_settings::test_folders_are_made_for_their_owner_alone",
    ],
    "A socket of another user": [
        "test_others::test_a_socket_of_another_user_is_not_talked_to",
        "test_others::test_a_home_that_all_may_write_to_is_refused",
    ],
    "`planner doctor` warns of a home": [
        "test_others::test_the_doctor_says_that_others_may_write",
        "test_pipeline_folder::test_the_doctor_says_so",
    ],
    "A worker compares the name": [
        "test_config_mismatch::test_a_run_of_another_name_is_left_alone",
        "test_config_mismatch::test_the_end_of_a_run_whose_plan_is_of_another_name_waits",
        "test_bad_files::test_a_plan_that_was_made_by_hand_is_read_as_if_by_an_enemy",
        "test_warehouse_mismatch::test_a_step_is_left_to_a_worker_with_the_run_s_warehouse",
        "test_warehouse_mismatch::test_a_run_is_not_counted_in_another_warehouse",
    ],
    "Leases are named after": [
        "test_forged_run::test_a_date_has_one_lease_whatever_redis_says_of_a_realm",
        "test_pipeline_folder::test_two_files_of_one_name_are_said_and_share_their_leases",
    ],
    "It puts back dates": [
        "test_forged_restore::test_a_date_that_the_run_had_no_step_for_is_not_emptied",
        "test_forged_restore::test_a_table_of_another_phase_is_not_written",
        "test_forged_restore::test_a_version_that_is_none_is_told_in_words",
        "test_bigquery_keeping::test_a_place_at_which_the_run_kept_nothing_is_not_read",
    ],
    "BigQuery's copies are made": [
        "test_forged_run::test_rows_are_copied_nowhere_but_where_the_worker_keeps",
    ],
    "A run or a restore whose record": [
        "test_damaged_records::test_a_forged_field_is_told_in_words",
        "test_damaged_records::test_a_key_of_another_type_is_told_in_words",
        "test_forged_restore::test_a_forged_restore_is_told_in_words_and_stops_no_other",
    ],
    "So does every command": [
        "test_forged_keys::test_every_key_and_every_command",
        "test_forged_keys::test_what_ended_in_a_traceback_is_told_in_words",
    ],
    "Headers that Celery acts on": [
        "test_poison::test_headers_are_checked_before_celery_acts_on_them",
        "test_poison::test_junk_among_delivered_messages_is_dropped",
        "test_poison::test_a_key_of_another_type_is_put_aside",
        "test_poison::test_a_key_of_another_type_for_delivered_messages_ends_no_worker",
    ],
    "The log of the worker": [
        "test_poison::test_a_key_of_another_type_is_put_aside",
    ],
    "A plan carries a checksum": [
        "test_fuzz::test_every_single_character_of_a_plan_counts",
        "test_fuzz::test_a_plan_with_any_byte_changed_is_the_same_or_refused",
    ],
    "It guards against accidents": [
        "test_bad_files::test_a_plan_that_was_made_by_hand_is_read_as_if_by_an_enemy",
        "test_fuzz::test_whoever_makes_a_plan_by_hand_makes_it_whole",
    ],
    "Arguments, settings, pipeline files": [
        "test_docs::test_the_limits_that_are_promised_are_those_of_the_code",
        "test_bad_arguments::test_what_cannot_be_used_is_refused_in_words_and_nothing_is_done",
        "test_fuzz::test_a_file_that_takes_long_is_refused_soon",
        "test_fuzz::test_a_plan_file_that_is_hostile_is_refused_soon",
        "test_service_limits::test_an_answer_is_read_with_limits",
        "test_service_limits::test_what_is_no_token_is_not_waited_for_or_kept",
        "test_fuzz::test_whatever_is_handed_in_as_a_baseline_is_refused",
        "test_bad_files::test_a_note_of_what_is_owed_is_not_guessed_at",
    ],
    "A request has one deadline": [
        "test_service_limits::test_a_request_has_one_deadline",
        "test_service_limits::test_a_probe_has_one_deadline",
        "test_service_limits::test_a_step_stops_while_its_service_is_slow",
    ],
    "A mistake is told in words": [
        "test_bad_arguments::test_what_cannot_be_used_is_refused_in_words_and_nothing_is_done",
    ],
    "What a warehouse answers": [
        "test_draft::test_what_a_warehouse_answers_is_a_comment_and_no_line_of_the_file",
    ],
    "On a terminal": [
        "test_printable::test_a_terminal_gets_no_orders_but_its_own",
        "test_printable::test_markup_of_others_is_text",
        "test_logs::test_a_log_gives_a_terminal_no_orders",
    ],
    "In Markdown and in messages": [
        "test_printable::test_text_of_others_is_no_link_and_no_mention_in_markdown",
        "test_printable::test_text_of_others_is_no_link_and_no_mention_in_a_message",
        "test_page::test_hostile_text_adds_no_element_and_no_attribute",
        "test_report_page::test_script_that_gets_in_all_the_same_is_refused",
    ],
    "DuckDB fetches no code": [
        "test_forged_checkpoint::test_a_statement_cannot_make_duckdb_fetch_code",
    ],
    "Dates in it that are not": [
        "test_forged_checkpoint::test_dates_that_are_not_the_step_s_are_not_run",
        "test_forged_checkpoint::test_a_plan_that_reaches_over_all_time_is_none",
        "test_forged_run::test_a_runner_that_is_not_there_is_told_in_words",
    ],
    "Compose publishes": [
        "test_compose::test_pages_and_figures_are_published_on_loopback_alone",
    ],
    "Redis is on an internal": [
        "test_compose::test_the_broker_is_reached_by_the_fleet_alone",
    ],
    "Redis and Flower have a password": [
        "test_compose::test_no_password_has_a_default",
        "test_compose::test_flower_asks_for_a_password_and_has_no_buttons",
        "test_flower_page::test_no_button_of_flower_s_does_anything",
    ],
    "Containers run as": [
        "test_compose::test_nothing_runs_as_root_or_writes_where_it_is_not_told_or_takes_all",
    ],
    "`BACKFILL_NOTIFY` has 10 seconds": [
        "test_notify::test_what_takes_the_message_cannot_hold_up_the_worker_that_tells",
        "test_notify::test_a_web_hook_is_sent_it_signed_and_again_when_it_refuses",
    ],
    "A web hook's answer": [
        "test_notify::test_what_takes_the_message_cannot_hold_up_the_worker_that_tells",
    ],
    "A command that is late": [
        "test_notify::test_what_takes_the_message_cannot_hold_up_the_worker_that_tells",
        "test_notify::test_what_a_command_that_ends_well_leaves_behind_is_not_waited_for",
    ],
    "Settings of OpenTelemetry": [
        "test_traces::test_a_setting_of_opentelemetry_without_sense_fails_no_step",
    ],
    "It answers GET alone": [
        "test_serve::test_nothing_but_reading_is_answered",
        "test_serve::test_a_redis_user_who_may_only_read_is_enough",
        "test_serve::test_every_answer_forbids_what_a_page_does_not_need",
        "test_serve::test_beyond_this_machine_it_asks_for_a_password",
        "test_serve::test_it_serves_until_it_is_stopped_and_never_writes_the_password",
    ],
    "Without a password it answers": [
        "test_serve::test_a_name_that_others_point_here_is_refused_without_a_password",
    ],
    "A connection that sends": [
        "test_serve::test_a_request_that_never_comes_whole_is_not_waited_for",
        "test_serve_crowds::test_who_does_not_read_the_answer_is_not_waited_for",
    ],
    "Where all 2,000 are taken": [
        "test_serve_crowds::test_who_waits_longest_gives_way_to_who_comes",
        "test_serve_crowds::test_a_thousand_connections_that_say_nothing_keep_no_reader_out",
        "test_serve_crowds::test_half_of_the_connections_may_listen",
    ],
    "Dependencies are pinned": [
        "test_security::test_every_dependency_has_its_hash",
        "test_docs::test_the_image_is_not_roots_and_takes_only_what_has_its_hash",
    ],
    "`make audit` looks": [
        "test_docs::test_the_audit_fails_on_what_it_cannot_look_up",
    ],
    "It does not see the Valkey": [
        "test_redis_server::test_the_newest_server_that_is_there_is_taken",
        "test_redis_server::test_the_doctor_warns_of_an_old_server",
    ],
}
"""Beginning of a sentence → `file::test`."""


def promises() -> list[str]:
    """The sentences, without the words in bold that name a paragraph."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    part = text.partition("## What is promised\n")[2].partition("\nEach sentence above")[0]
    found = []
    for item in part.split("\n- ")[1:]:
        line = re.sub(r"^\*\*[^*]+\.\*\* ", "", " ".join(item.split())).replace("**", "")
        found += re.split(r"(?<=\.) (?=[A-Z`])", line)
    return found


def test_every_sentence_names_what_shows_it() -> None:
    begins = list(SHOWN)
    said = promises()

    unknown = [each for each in said if not any(each.startswith(start) for start in begins)]
    stale = [start for start in begins if not any(each.startswith(start) for each in said)]

    assert (unknown, stale) == ([], [])


@pytest.mark.parametrize("start", SHOWN)
def test_what_shows_it_is_there(start: str) -> None:
    assert SHOWN[start]
    for named in SHOWN[start]:
        file, _, test = named.partition("::")
        (path,) = (ROOT / "tests").glob(f"*/{file}.py")
        assert re.search(rf"^def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE), named


def test_every_dependency_has_its_hash() -> None:
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", "")
    wanted = [line for line in locked.splitlines() if line and not line.startswith((" ", "#", "-"))]

    assert len(wanted) > 50
    assert [line for line in wanted if "==" not in line or "--hash=sha256:" not in line] == []
