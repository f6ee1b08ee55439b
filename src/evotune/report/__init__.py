"""What a study's records show: tables, figures, one HTML page. Reads records only.

Nothing is imported here, so that pandas, plotly and scikit-learn load only when a report is made.
"""
