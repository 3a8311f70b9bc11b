/*  verbs - everything that `rill` does, in one table
 *
 *  The table makes `rill help`, `rill help VERB` and `rill VERB --help`. A verb
 *  is a file; its function gets the words behind it and returns an exit code.
 */
#ifndef VERBS_H
#define VERBS_H

#include <stdio.h>

#include "words.h"

//  In the order in which help lists them; ends with a NULL name.
extern const verb_t VERBS[];

//  The verb of that name, or NULL.
const verb_t *verbs_find(const char *name);

//  All verbs, one a line; and one verb's whole help.
void verbs_list(FILE *to);
void verbs_explain(const verb_t *verb, FILE *to);

int put_run(const words_t *words);
int push_run(const words_t *words);
int get_run(const words_t *words);
int watch_run(const words_t *words);
int ls_run(const words_t *words);
int stat_run(const words_t *words);
int rm_run(const words_t *words);
int settle_run(const words_t *words);
int status_run(const words_t *words);
int where_run(const words_t *words);
int top_run(const words_t *words);
int tree_run(const words_t *words);
int tap_run(const words_t *words);
int nodes_run(const words_t *words);
int help_run(const words_t *words);

#endif
