/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loader's gifts, collected and found again.
 */
#include "hv/boot_info.h"

#include "hv/string.h"

#define CONFIG_SUFFIX ".toml"

/* The base name of the last word. */
static const char *name_in(const char *string, size_t *length)
{
    size_t end = strlen(string), start;

    while (end > 0 && (string[end - 1] == ' ' || string[end - 1] == '\t'))
        end--;
    start = end;
    while (start > 0 && string[start - 1] != ' ' && string[start - 1] != '\t' && string[start - 1] != '/')
        start--;
    *length = end - start;
    return string + start;
}

void boot_module_add(struct boot_info *info, hpa_t base, uint64_t size, const char *string)
{
    size_t length;
    const char *name = name_in(string, &length);

    if (info->module_count == MODULES_MAX) {
        info->modules_cut = true;
        return;
    }
    struct boot_module *module = &info->modules[info->module_count++];
    module->base = base;
    module->size = size;
    module->name_cut = length >= sizeof(module->name);
    length = min_u64(length, sizeof(module->name) - 1);
    memcpy(module->name, name, length);
    module->name[length] = '\0';
    (void)string_copy(module->string, sizeof(module->string), string);
}

void boot_memory_add(struct boot_info *info, hpa_t base, uint64_t size, uint32_t type)
{
    if (size == 0 || base + size < base || info->memory_count == BOOT_MEMORY_RANGES_MAX)
        return;
    info->memory[info->memory_count++] = (struct boot_memory_range){base, size, type};
}

const struct boot_module *boot_module_config(const struct boot_info *info)
{
    for (uint32_t i = 0; i < info->module_count; i++) {
        size_t length = strlen(info->modules[i].name);
        if (length >= strlen(CONFIG_SUFFIX) &&
            strcmp(&info->modules[i].name[length - strlen(CONFIG_SUFFIX)], CONFIG_SUFFIX) == 0)
            return &info->modules[i];
    }
    return NULL;
}

const struct boot_module *boot_module_find(const struct boot_info *info, const char *name)
{
    for (uint32_t i = 0; i < info->module_count; i++) {
        if (strcmp(info->modules[i].name, name) == 0)
            return &info->modules[i];
    }
    return NULL;
}
