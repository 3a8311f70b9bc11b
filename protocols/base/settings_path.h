/*  settings_path - whether two paths of the cluster file lead into each other
 *
 *  By their words alone: what is a link on some disk is not looked at, for the
 *  file is read on machines that do not have the directory. Private to settings.
 */
#ifndef SETTINGS_PATH_H
#define SETTINGS_PATH_H

#include <stdbool.h>

//  The whole path of a directory, from the root on: without ".", ".." and
//  slashes too many. The root's own is "". The caller frees it.
char *settings_path(const char *path);

//  Whether a whole path is `outer`, or of something in it.
bool settings_path_in(const char *path, const char *outer);

#endif
