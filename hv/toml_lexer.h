/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The characters and scalars of a TOML document; between toml.c and toml_lexer.c, toml_scalar.c only.
 */
#ifndef HV_TOML_LEXER_H
#define HV_TOML_LEXER_H

#include "hv/toml.h"

#define TOML_NO_CHARACTER (-1)

/* The byte `ahead` of the next one, or TOML_NO_CHARACTER behind the end. */
int toml_peek(const struct toml *toml, uint32_t ahead);
bool toml_looking_at(const struct toml *toml, const char *text);

/* Step over one byte, or over `count`. At the end of the document nothing happens. */
void toml_advance(struct toml *toml);
void toml_advance_by(struct toml *toml, uint32_t count);

bool toml_at_end(const struct toml *toml);
bool toml_at_newline(const struct toml *toml); /* LF or CR LF */
bool toml_at_line_end(const struct toml *toml);
void toml_skip_blanks(struct toml *toml);
void toml_skip_line(struct toml *toml);                /* up to the newline */
void toml_skip_blanks_and_comments(struct toml *toml); /* newlines too */
bool toml_is_bare(int character);                      /* may it stand in a bare key? */

/* Report unless it is the work of a byte that toml_check_bytes has reported. */
void toml_error(struct toml *toml, struct config_position position, const char *format, ...) PRINTF_LIKE(3, 4);

/* What stands here, in words: `"="`, `the end of the line`. */
struct diagnostic_excerpt toml_found_here(const struct toml *toml);

/* Report the first byte of each line that is no UTF-8 or a control character. */
void toml_check_bytes(struct toml *toml);

/* Read a string, integer or boolean into `value`; false when it was reported. Always moves on, or stands at a , ] # or
 * line end. */
bool toml_read_scalar(struct toml *toml);
bool toml_read_string(struct toml *toml);

/* Stands at [ or {: move behind its partner, or as far as it seems to reach. */
void toml_skip_nested(struct toml *toml);

/* Does `name =` or a table header begin at the next character? */
bool toml_at_statement(const struct toml *toml);

#endif
