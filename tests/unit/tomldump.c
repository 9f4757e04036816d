/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tomldump FILE...: what our TOML reader makes of each file, as one line of JSON: a list of [path, key, value] in the
 * order of the file (a table's header is [path, null, null]), or null when the file is refused. Messages go to stderr.
 */
#include <stdio.h>
#include <stdlib.h>

#include "hv/toml.h"

static void report(struct diagnostics *self, const char *line)
{
    (void)self;
    fprintf(stderr, "%s\n", line);
}

static void print_string(FILE *out, const char *text, size_t length)
{
    fputc('"', out);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\' || byte < 0x20)
            fprintf(out, "\\u%04x", byte);
        else
            fputc(byte, out);
    }
    fputc('"', out);
}

static void print_path(FILE *out, const struct toml *toml)
{
    fputc('[', out);
    for (uint32_t i = 0; i < toml->path_length; i++) {
        fputs(i > 0 ? "," : "", out);
        print_string(out, toml->path[i].text, toml->path[i].length);
    }
    fputc(']', out);
}

static void print_value(FILE *out, const struct toml_value *value)
{
    if (value->type == TOML_STRING)
        print_string(out, value->text, value->length);
    else if (value->type == TOML_INTEGER)
        fprintf(out, "%lld", (long long)value->integer);
    else
        fputs(value->boolean ? "true" : "false", out);
}

/* One event; `separator` is what stands before the next list entry, `in_array` and `first` follow the current array. */
static void print_event(FILE *out, const struct toml *toml, enum toml_event event)
{
    static bool in_array, first;

    switch (event) {
    case TOML_TABLE:
        fputs(",[", out);
        print_path(out, toml);
        fputs(",null,null]", out);
        break;
    case TOML_KEY:
        fputs(",[", out);
        print_path(out, toml);
        fputc(',', out);
        print_string(out, toml->key.text, toml->key.length);
        fputc(',', out);
        in_array = false;
        break;
    case TOML_ARRAY:
        fputc('[', out);
        in_array = first = true;
        break;
    case TOML_SCALAR:
        fputs(in_array && !first ? "," : "", out);
        first = false;
        print_value(out, &toml->value);
        fputs(in_array ? "" : "]", out);
        break;
    case TOML_ARRAY_END: fputs("]]", out); break;
    default: break;
    }
}

static void dump(const char *name, const char *text, size_t size)
{
    static struct toml toml;
    static struct diagnostics diagnostics;
    char *json;
    size_t json_size;
    FILE *out = open_memstream(&json, &json_size);
    enum toml_event event;

    if (!out)
        abort();
    diagnostics.report = report;
    diagnostics.errors = 0;
    toml_begin(&toml, name, text, size, &diagnostics);
    fputs("[[[],null,null]", out);
    do {
        event = toml_next(&toml);
        print_event(out, &toml, event);
    } while (event != TOML_END);
    fputc(']', out);
    fclose(out);
    puts(diagnostics.errors ? "null" : json);
    free(json);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file || fseek(file, 0, SEEK_END) != 0) {
            perror(argv[i]);
            return 1;
        }
        size_t size = (size_t)ftell(file);
        char *text = malloc(size ? size : 1);
        rewind(file);
        if (!text || fread(text, 1, size, file) != size) {
            perror(argv[i]);
            return 1;
        }
        fclose(file);
        dump(argv[i], text, size);
        free(text);
    }
    return 0;
}
