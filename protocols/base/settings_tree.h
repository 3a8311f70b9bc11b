/*  settings_tree - whether the names in a cluster file make a tree
 *
 *  Looked at when the whole file is read, for a name may stand before what it
 *  names. Private to settings.
 */
#ifndef SETTINGS_TREE_H
#define SETTINGS_TREE_H

#include "settings_keys.h"

//  A place in the file, counted from 0.
typedef struct {
    size_t line, column;
} settings_spot_t;

//  A word of the file that must be the name of something.
typedef struct {
    key_names_t names;
    size_t owner;  //  Which of its list (a group, a cache) says it
    char *text;
    settings_spot_t at;
} settings_mention_t;

//  Give groups their tiers and numbers of caches, and settings their remark.
//  `spots` has where each group begins. STATUS_SETTING: `at_r` is where it is
//  wrong and `why_r` says why.
status_t settings_tree(settings_t *settings, const char *file,
                       const settings_mention_t *mentions, size_t count,
                       const settings_spot_t *spots, settings_spot_t *at_r,
                       char why_r[SETTINGS_WHY_BYTES]);

#endif
