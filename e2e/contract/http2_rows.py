"""What RFC 9113 and 7541 ask (MUST, MUST NOT) of recipients and of who passes messages on, row by row.

Of the shape of rows.py. What clients send is tried by h2spec's cases, by their numbers, and by tests of our own; what
targets send, which h2spec cannot, by tests of our own alone: `OUT` and the like. test_http2.py sees that every case
named here has run and passed.
"""


def h2spec(*cases):
    """Cases of h2spec: `http2/5.1/5` is the fifth of section 5.1."""
    return [f"h2spec {case}" for case in cases]


def all_of(section, count):
    return h2spec(*(f"{section}/{number}" for number in range(1, count + 1)))


# Frames that end the connection, each with the code of the RFC.
IN = "what_breaks_the_protocol_ends_the_connection_with_the_code_of_the_rfc"
OUT = "what_breaks_the_protocol_ends_a_targets_connection_with_the_code_of_the_rfc"
# Heads that end their stream.
HEADS_IN = "malformed_requests_cost_their_stream"
HEADS_OUT = "malformed_answers_cost_their_stream"
PARTS_IN = "nothing_comes_between_the_parts_of_a_head"
PARTS_OUT = "nothing_comes_between_the_parts_of_an_answers_head"
UNKNOWN_IN = "settings_and_pings_are_acknowledged_and_what_is_unknown_is_not"
UNKNOWN_OUT = "settings_and_pings_of_a_target_are_acknowledged_and_what_is_unknown_is_not"
RESET_IN = "what_was_on_its_way_to_a_stream_that_was_reset_is_ignored"
RESET_OUT = "what_was_on_its_way_from_a_target_when_its_stream_was_reset_still_counts"
ENDED_IN = "a_stream_the_client_has_ended_takes_nothing_more"
ENDED_OUT = "a_stream_the_target_has_ended_takes_nothing_more"
WINDOW_IN = "a_window_above_the_largest_costs_the_stream_or_the_connection"
WINDOW_OUT = "a_window_that_a_target_opens_too_far_costs_the_stream_or_the_connection"
BEYOND_IN = "what_comes_beyond_a_window_is_refused"
BEYOND_OUT = "what_a_target_sends_beyond_a_window_is_refused"
NEGATIVE_IN = "a_smaller_initial_window_makes_room_negative_and_a_larger_one_gives_it_back"
NEGATIVE_OUT = "settings_of_a_target_count_in_their_order"
TRAILERS_IN = "trailers_end_a_stream_and_have_no_pseudo_header"
TRAILERS_OUT = "trailers_of_an_answer_end_it_and_have_no_pseudo_header"
LENGTHS_IN = "lengths_are_kept_to"
LENGTHS_OUT = "lengths_of_answers_are_kept_to"
HOP = "a_head_for_http1_has_one_cookie_and_nothing_of_this_hop"
HPACK = "what_breaks_the_rfc_is_refused_by_its_reason"
TARGET_TLS = "https_targets_are_spoken_to_over_tls_when_they_choose_h2"

SECTIONS = [
    ("RFC 9113, HTTP/2: connections, frames and streams", [
        ("3.2, 9.2: over TLS it is agreed on by ALPN, in TLS 1.2 or 1.3, by name (SNI), without renegotiation.",
         ["test_http2_is_agreed_on_and_written_down", TARGET_TLS, "over_tls_h2_is_agreed_on",
          "every_name_has_its_certificate_and_the_host_decides_where_a_request_goes"], None),
        ("3.4: the preface and SETTINGS come first; anything else is PROTOCOL_ERROR.",
         h2spec("http2/3.5/1", "http2/3.5/2") + ["settings_come_first", "settings_of_a_target_come_first",
                                                "a_connection_that_never_says_what_it_wants_ends"], None),
        ("4.1, 5.5: frames of unknown kinds, unknown flags and the reserved bit are ignored; unknown kinds within a head "
         "are PROTOCOL_ERROR.",
         all_of("http2/4.1", 3) + all_of("http2/5.5", 2) + [UNKNOWN_IN, UNKNOWN_OUT, PARTS_IN, PARTS_OUT], None),
        ("4.2: a frame larger than allowed, or of a size its kind cannot have, is FRAME_SIZE_ERROR.",
         all_of("http2/4.2", 3) + [IN, OUT], None),
        ("4.3: a head that cannot be decoded is COMPRESSION_ERROR; every head is decoded, wanted or not.",
         h2spec("http2/4.3/1") + [IN, OUT, RESET_OUT, "a_refused_block_still_fills_the_table"], None),
        ("4.3, 6.2, 6.10: the parts of a head come one behind the other, of one stream.",
         h2spec("http2/4.3/2", "http2/4.3/3", "http2/6.2/1", "http2/6.2/2") + all_of("http2/6.10", 6)
         + [PARTS_IN, PARTS_OUT, IN, OUT], None),
        ("5.1, idle: anything but HEADERS and PRIORITY is PROTOCOL_ERROR.",
         all_of("http2/5.1", 4) + h2spec("generic/2/1") + [IN, OUT], None),
        ("5.1, half closed: anything but WINDOW_UPDATE, PRIORITY and RST_STREAM is STREAM_CLOSED.",
         h2spec("http2/5.1/5", "http2/5.1/6", "http2/5.1/7", "generic/2/2", "generic/2/3", "generic/2/4")
         + [ENDED_IN, ENDED_OUT], None),
        ("5.1, closed: what comes behind an end is STREAM_CLOSED, PRIORITY is taken.",
         h2spec("http2/5.1/11", "http2/5.1/12", "http2/5.1/13", "generic/2/5") + [ENDED_IN, OUT], None),
        ("5.1, 5.4.2: what was on its way to a stream that was reset here is read, counted and dropped.",
         h2spec("http2/5.1/8", "http2/5.1/9", "http2/5.1/10")
         + [RESET_IN, RESET_OUT, "data_nobody_wants_does_not_shut_the_connection"], None),
        ("5.1.1: clients' streams have odd numbers that grow; others are PROTOCOL_ERROR. Ours are used once, and end the "
         "connection when they run out.",
         all_of("http2/5.1.1", 2) + [IN, OUT, "numbers_of_streams_are_used_once_and_end_the_connection_when_they_run_out"],
         None),
        ("5.1.2: more streams than announced are refused; a target is asked for no more than it allows.",
         h2spec("http2/5.1.2/1") + ["more_streams_than_announced_are_refused_and_others_go_on",
                                    "a_target_that_takes_few_streams_gets_more_connections"], None),
        ("5.3: priorities are read and not acted on; a stream that depends on itself is PROTOCOL_ERROR.",
         h2spec("http2/5.3.1/1", "http2/5.3.1/2") + all_of("generic/3.3", 5)
         + ["a_head_that_depends_on_itself_costs_its_stream",
            "a_head_of_an_answer_that_depends_on_itself_costs_its_stream"], None),
        ("5.4.1: a connection error is told by GOAWAY with its code, and the connection ends.",
         h2spec("http2/5.4.1/1") + [IN, OUT], None),
        ("5.4.2: a reset is not answered by another.", [RESET_IN, UNKNOWN_OUT], None),
        ("7: codes that are not known change nothing.", all_of("http2/7", 2) + [UNKNOWN_OUT], None),
    ]),
    ("RFC 9113, HTTP/2: kinds of frames", [
        ("6.1 DATA: on the connection, or of more padding than there is: PROTOCOL_ERROR; on a stream that is not open: "
         "STREAM_CLOSED.", all_of("http2/6.1", 3) + all_of("generic/3.1", 3) + [IN, OUT], None),
        ("6.2 HEADERS: on the connection, or of more padding than there is: PROTOCOL_ERROR.",
         h2spec("http2/6.2/3", "http2/6.2/4") + all_of("generic/3.2", 3) + [IN, OUT], None),
        ("6.3 PRIORITY: on the connection is PROTOCOL_ERROR; of another size than 5 costs its stream, FRAME_SIZE_ERROR.",
         all_of("http2/6.3", 2) + [IN, OUT, "a_priority_of_another_size_costs_its_stream"], None),
        ("6.4 RST_STREAM: on the connection or an idle stream is PROTOCOL_ERROR; of another size than 4 FRAME_SIZE_ERROR; "
         "nothing more is said on the stream.",
         all_of("http2/6.4", 3) + [IN, OUT, "a_reset_is_heard_and_nothing_can_be_said_any_more"], None),
        ("6.5 SETTINGS: on a stream is PROTOCOL_ERROR; an ACK with content, or of another size, FRAME_SIZE_ERROR.",
         all_of("http2/6.5", 3) + [IN, OUT], None),
        ("6.5.2: values that may not be are refused with the code of each; a target that would push is refused.",
         h2spec("http2/6.5.2/1", "http2/6.5.2/2", "http2/6.5.2/3", "http2/6.5.2/4")
         + [IN, OUT, "what_only_a_server_may_not_do_ends_its_connection"], None),
        ("6.5.3: settings count in their order, unknown ones are ignored, and they are acknowledged at once.",
         all_of("http2/6.5.3", 2) + h2spec("http2/6.5.2/5") + [UNKNOWN_IN, NEGATIVE_OUT, UNKNOWN_OUT], None),
        ("6.6 PUSH_PROMISE is PROTOCOL_ERROR from both.", h2spec("http2/8.2/1") + [IN, OUT], None),
        ("6.7 PING: is answered with what is in it; an ACK is not; on a stream PROTOCOL_ERROR, of another size "
         "FRAME_SIZE_ERROR.", all_of("http2/6.7", 4) + [UNKNOWN_IN, UNKNOWN_OUT, IN, OUT], None),
        ("6.8 GOAWAY: on a stream PROTOCOL_ERROR; its number never grows; no stream is begun behind one.",
         h2spec("http2/6.8/1") + ["a_server_that_goes_says_so_twice_and_serves_what_it_has_seen",
                                  "a_goaway_names_what_was_not_looked_at", IN, OUT], None),
        ("6.9 WINDOW_UPDATE: by nothing is PROTOCOL_ERROR, of the stream or the connection; of another size "
         "FRAME_SIZE_ERROR.",
         all_of("http2/6.9", 3) + [IN, OUT, "a_stream_window_opened_by_nothing_costs_the_stream", WINDOW_OUT], None),
        ("6.9.1: no more is sent than the windows allow; a window above 2^31-1 is FLOW_CONTROL_ERROR; what comes beyond a "
         "window is, too.",
         all_of("http2/6.9.1", 3)
         + ["no_more_is_sent_than_the_windows_allow_in_frames_that_are_not_too_large",
            "windows_of_both_sides_are_as_announced", WINDOW_IN, WINDOW_OUT, BEYOND_IN, BEYOND_OUT], None),
        ("6.9, 6.9.1: all DATA counts for the connection's window, padding and what nobody wants too.",
         ["room_is_given_again_when_data_is_released_and_padding_at_once",
          "data_nobody_wants_does_not_shut_the_connection", RESET_OUT], None),
        ("6.9.2: another initial window changes those of all streams, below nothing too; above 2^31-1 is "
         "FLOW_CONTROL_ERROR.",
         all_of("http2/6.9.2", 3) + [NEGATIVE_IN, NEGATIVE_OUT, WINDOW_IN, WINDOW_OUT], None),
    ]),
    ("RFC 9113, HTTP/2: messages", [
        ("8.1: a second head is trailers, which end the stream; another is malformed.",
         h2spec("http2/8.1/1") + [TRAILERS_IN, TRAILERS_OUT], None),
        ("8.1: an interim answer that ends its stream is malformed.", [HEADS_OUT], None),
        ("8.1.1: what is malformed costs its stream and is passed on in neither direction.",
         [HEADS_IN, HEADS_OUT, "malformed_heads_get_400_and_the_connection_stays",
          "answers_that_break_the_protocol_cost_their_stream", "a_stream_that_breaks_the_protocol_leaves_a_line"], None),
        ("8.1.1: content-length is what comes.", all_of("http2/8.1.2.6", 2) + [LENGTHS_IN, LENGTHS_OUT], None),
        ("8.2, 8.2.1, 10.3: names in upper case or of other characters, CR, LF and NUL in values, are malformed.",
         h2spec("http2/8.1.2/1") + [HEADS_IN, HEADS_OUT, TRAILERS_IN, TRAILERS_OUT], None),
        ("8.2.1: a value does not begin or end with a blank: a request that has one is refused; answers and trailers lose "
         "them.",
         ["malformed_heads_get_400_and_the_connection_stays",
          "blanks_around_a_value_are_taken_off_answers_and_trailers"],
         "answers and trailers with such a value are not refused as malformed: many servers send them, browsers and curl "
         "take them, and without the blanks they are as good as in HTTP/1"),
        ("8.2.2: Connection and its kind, and TE but for trailers, are malformed, and not made out of HTTP/1.",
         all_of("http2/8.1.2.2", 2) + [HEADS_IN, HEADS_OUT, "a_head_for_http2_keeps_the_authority_and_te", HOP,
                                      "fields_for_the_next_hop_only_do_not_pass_and_a_missing_date_is_added"], None),
        ("8.2.3: crumbs of a cookie are one field for HTTP/1.1.", [HOP], None),
        ("8.3: pseudo-headers that are unknown, of the other direction, twice, behind a field or in trailers are malformed.",
         all_of("http2/8.1.2.1", 4) + h2spec("http2/8.1.2.3/5", "http2/8.1.2.3/6", "http2/8.1.2.3/7")
         + [HEADS_IN, HEADS_OUT, TRAILERS_IN, TRAILERS_OUT], None),
        ("8.3.1: a request has one :method, :scheme and :path, which is not empty.",
         h2spec("http2/8.1.2.3/1", "http2/8.1.2.3/2", "http2/8.1.2.3/3", "http2/8.1.2.3/4")
         + [HEADS_IN, "a_head_for_http2_keeps_the_authority_and_te"], None),
        ("8.3.1: :authority, and Host where it stands beside it, say one host, without user information; it is what a "
         "target sees.",
         ["what_two_parsers_could_read_differently_is_refused",
          "rules_see_the_authority_as_host_and_repeated_fields_joined", "a_head_for_http2_keeps_the_authority_and_te",
          "a_request_reaches_an_http1_target_with_the_fields_of_the_reference"], None),
        ("8.3.2: an answer has one :status of three digits.", [HEADS_OUT], None),
        ("8.5: CONNECT is refused: 405; without an authority, or with a path, malformed.",
         ["tunnels_are_refused_over_http2_too", HEADS_IN], None),
        ("8.6: an answer of 101 is none: 502.", ["a_switch_of_protocols_over_http2_is_a_502"], None),
        ("8.7: a stream that was refused may be sent again, one that was looked at may not.",
         ["a_refused_stream_is_tried_again", "a_stream_above_the_last_of_a_goaway_is_tried_again",
          "a_stream_a_target_gives_up_is_not_tried_again"], None),
        ("10.5: what a peer may make this end hold and do is bounded; a head that is too large is told so and decoded all "
         "the same.",
         ["floods_of_frames_that_carry_nothing_end_the_connection", "a_head_without_end_ends_the_connection",
          "a_list_too_large_is_cut_and_one_far_too_large_ends_the_connection", "servers_are_bound_alike"], None),
        ("Ordinary requests, heads in every form and messages of all kinds are taken.",
         h2spec("generic/1/1", "generic/3.4/1", "generic/3.5/1", "generic/3.7/1", "generic/3.8/1") + all_of("generic/3.9", 2)
         + all_of("generic/3.10", 2) + all_of("generic/4", 4), None),
    ]),
    ("RFC 7541, HPACK", [
        ("2.3.3, 6.1: an index that is not there, 0 among them, is a decoding error.",
         all_of("hpack/2.3.3", 2) + h2spec("hpack/6.1/1") + [HPACK, OUT], None),
        ("4.2, 6.3: the table is resized at the beginning of a head alone, and to no more than was announced; what a peer "
         "announces is obeyed and told.",
         h2spec("hpack/4.2/1", "hpack/6.3/1")
         + [HPACK, OUT, "the_peers_table_may_grow_to_what_was_announced_and_no_further",
            "the_next_block_tells_of_the_smallest_and_the_final_table_size"], None),
        ("4.4: an entry larger than the table empties it; a name outlives the entry it came from.",
         ["the_oldest_entries_make_room_for_the_newest",
          "a_name_is_kept_though_the_entry_it_came_from_is_evicted"], None),
        ("5.1: integers too large or too long are decoding errors.", ["integers_too_large_or_too_long_are_refused"], None),
        ("5.2: padding of Huffman's code is up to seven ones, and the end of string does not occur.",
         all_of("hpack/5.2", 3) + ["padding_is_up_to_seven_ones_and_nothing_else", "the_end_of_string_symbol_is_refused"],
         None),
        ("6.2.3: a field never to be indexed is passed on as one.", ["a_field_never_to_be_indexed_is_passed_on_as_one"], None),
        ("6: every representation is read.", all_of("generic/5", 15) + ["the_blocks_of_the_rfc_are_read_and_written_as_there"],
         None),
    ]),
]
