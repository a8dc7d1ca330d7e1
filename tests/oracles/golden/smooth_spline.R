# Writes smooth_spline.json beside this file: what R's smooth.spline gives, to 17 digits.
#
#     Rscript tests/oracles/golden/smooth_spline.R        (seconds; base R is enough)
#
# A list of data sets: knots x, weights w (null: none given), points, and the fits. Each fit has
# the column y, the call's arguments, and lambda, spar, ratio, df, crit (the criterion that R
# minimises), cv.crit, fitted values and leverages at x, and the derivatives 0, 1, 2 at the points.
# "thinned" is the lambda that spar = 0.6 means with R's default knots.

number <- function(v) ifelse(is.na(v), "null", formatC(v, digits = 17, format = "g", width = 1))
numbers <- function(v) if (is.null(v)) "null" else paste0("[", paste(number(v), collapse = ","), "]")
object <- function(...) {
  entries <- list(...)
  paste0("{", paste0("\"", names(entries), "\":", entries, collapse = ",\n"), "}")
}
array <- function(entries) paste0("[", paste(entries, collapse = ",\n"), "]")

# The search for a minimum ends where rounding hides it, not at R's default of 1e-4 in spar.
EXACTLY <- list(tol = 1e-9)
CALLS <- list(
  gcv = list(cv = FALSE), loo = list(cv = TRUE), df = list(df = 7.5),
  spar_small = list(spar = 0.3), spar_large = list(spar = 1.1), lambda = list(lambda = 1e-5)
)

fit <- function(name, x, y, w, points) {
  arguments <- CALLS[[name]]
  found <- do.call(smooth.spline, c(
    list(x = x, y = y, w = w, all.knots = TRUE, control.spar = EXACTLY), arguments
  ))
  stopifnot(length(found$x) == length(x))
  at <- function(nu) numbers(predict(found, points, deriv = nu)$y)
  object(
    call = paste0("\"", name, "\""),
    arguments = do.call(object, lapply(arguments, function(v) {
      if (is.logical(v)) tolower(as.character(v)) else number(v)
    })),
    y = numbers(y), lambda = number(found$lambda), spar = number(found$spar),
    ratio = number(found$ratio), df = number(found$df), crit = number(found$crit),
    cv.crit = number(found$cv.crit), fitted = numbers(found$y), leverages = numbers(found$lev),
    f0 = at(0), f1 = at(1), f2 = at(2)
  )
}

make_set <- function(name, x, w, noise, columns = 1, calls = names(CALLS)) {
  place <- (x - x[1]) / diff(range(x))
  curve <- sin(6 * place) + place^2
  ys <- replicate(columns, curve + noise * rnorm(length(x)), simplify = FALSE)
  points <- x[1] + diff(range(x)) * c(-0.5, -0.01, 0, 0.123, 0.5, 0.77, 1, 1.2)
  thinned <- smooth.spline(x, ys[[1]], w, spar = 0.6)
  fits <- unlist(lapply(ys, function(y) sapply(calls, fit, x, y, w, points)))
  object(
    name = paste0("\"", name, "\""), x = numbers(x), w = numbers(w), points = numbers(points),
    thinned = number(thinned$lambda), fits = array(fits)
  )
}

set.seed(20)
weights <- 10^runif(49, -1, 1)
zeros <- replace(runif(40), c(1, 7, 8, 25), 0)
sets <- c(
  make_set("small", sort(runif(20)), NULL, 0.2),
  make_set("weights", 1000 + cumsum(rexp(49, 0.1)), weights, 0.3),
  make_set("zeros", cumsum(runif(40, 0.02, 0.1)) - 1, zeros, 0.2),
  make_set("columns", cumsum(runif(60, 0.05, 0.2)) - 3, NULL, 0.3, columns = 3),
  make_set("long", seq(0, 24, length.out = 300) + runif(300, 0, 0.05), runif(300), 0.2,
    calls = c("gcv", "loo", "df")),
  make_set("thinned", seq(0, 1, length.out = 199)^1.5, NULL, 0.2, calls = NULL)
)
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))
writeLines(array(sets), file.path(here, "smooth_spline.json"))
